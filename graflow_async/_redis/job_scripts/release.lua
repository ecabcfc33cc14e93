-- worker, blame (0 or 1), words, (ref, fence, nonce)... -> for each ok, already, fenced or gone.
-- Gives claims back: a drained worker without blame, and with it one whose child process died of the job.
local me, is_blamed, said = ARGV[3], ARGV[4] == '1', ARGV[5]
may_write_when_full()
local answers, refs = {}, {}
for i = 6, #ARGV, 3 do refs[#refs + 1] = ARGV[i] end
local jobs = load_jobs(refs)
for i = 6, #ARGV, 3 do
  local ref = ARGV[i]
  local job = jobs[ref]
  local answer = 'fenced'
  if not job then
    answer = 'gone'
  elseif job.f == ARGV[i + 1] and job.n == ARGV[i + 2] then
    answer = 'already'
    if job.s == 'running' then
      answer = 'ok'
      if job.k then
        end_cancelled(ref, job, me)
      elseif not is_blamed then
        tell_driver(ref, 'l', job, me, said)
        put_back(ref, job)
      elseif not blame(ref, job, me, said, 4) then
        put_back(ref, job)
      end
    end
  end
  answers[#answers + 1] = answer
end
write()
return answers
