-- worker, (how many, fence, nonce, kind, (ref, data)...)... -> for each ok, already, fenced or gone; kind is d (done) or
-- f (failed). What was begun together has a fence and a nonce in common.
local me = ARGV[3]
local answers, entries, refs = {}, {}, {}
local at = 4
while at < #ARGV do
  local last = at + 2 + 2 * tonumber(ARGV[at])
  for i = at + 4, last, 2 do refs[#refs + 1] = ARGV[i] end
  at = last + 2
end
local jobs = load_jobs(refs)
at = 4
while at < #ARGV do
  local last, fence, nonce, kind = at + 2 + 2 * tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local state = kind == 'd' and 'done' or 'failed'
  for i = at + 4, last, 2 do
    local ref = ARGV[i]
    local job = jobs[ref]
    local answer = 'fenced'
    if not job then
      answer = 'gone'
    elseif job.f == fence and job.n == nonce then
      if job.s == 'running' then
        answer = 'ok'
        entries[#entries + 1] = job.e
        tell_driver(ref, kind, job, me, ARGV[i + 1])
        save_end(ref, job, state)
      elseif ENDED[job.s] then
        answer = 'already'
      end
    end
    answers[#answers + 1] = answer
  end
  at = last + 2
end
if #entries > 0 then
  -- These two free memory: after them Redis lets the rest be written however full it is.
  redis.call('XACK', S, G, unpack(entries))
  redis.call('XDEL', S, unpack(entries))
  write()
end
return answers
