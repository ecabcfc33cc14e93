-- worker, (ref, fence, nonce, kind, data)... -> for each ok, already, fenced or gone; kind is d (done) or f (failed).
local me = ARGV[3]
local answers, entries, refs = {}, {}, {}
for i = 4, #ARGV, 5 do refs[#refs + 1] = ARGV[i] end
local jobs = load_jobs(refs)
for i = 4, #ARGV, 5 do
  local ref = ARGV[i]
  local job = jobs[ref]
  local answer = 'fenced'
  if not job then
    answer = 'gone'
  elseif job.f == ARGV[i + 1] and job.n == ARGV[i + 2] then
    if job.s == 'running' then
      answer = 'ok'
      entries[#entries + 1] = job.e
      tell_driver(ref, ARGV[i + 3], job, me, ARGV[i + 4])
      save_end(ref, job, ARGV[i + 3] == 'd' and 'done' or 'failed')
    elseif ENDED[job.s] then
      answer = 'already'
    end
  end
  answers[#answers + 1] = answer
end
if #entries > 0 then
  -- These two free memory: after them Redis lets the rest be written however full it is.
  redis.call('XACK', S, G, unpack(entries))
  redis.call('XDEL', S, unpack(entries))
  write()
end
return answers
