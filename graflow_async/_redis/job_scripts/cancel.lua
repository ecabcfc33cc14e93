-- run, epoch, job... -> for each its state afterwards: cancelled (it never runs), running (its worker is asked), ...
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
may_write_when_full()
local answers, names = {}, {unpack(ARGV, 5)}
local jobs = load_run(run, names, names, {})
for i, name in ipairs(names) do
  local ref = run .. ':' .. name
  local job = jobs[name]
  if not job then
    answers[i] = 'missing'
  else
    if job.s == 'running' then
      if not job.k then
        job.k = true
        save(ref, job)
        tell_worker(job.o, 'c', job.f, ref, '')
      end
    elseif not ENDED[job.s] then
      drop_entry(job.e)
      save_end(ref, job, 'cancelled')
    end
    answers[i] = job.s
  end
end
write()
return answers
