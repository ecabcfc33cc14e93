-- worker, (ref, fence, nonce, number, data)... -> for each 1, or 0 if the claim is no more.
-- Numbers of a claim grow, so that what is sent twice is told once.
local me = ARGV[3]
may_write_when_full()
local answers, refs, spoken = {}, {}, {}
for i = 4, #ARGV, 5 do refs[#refs + 1] = ARGV[i] end
local jobs = load_jobs(refs)
for i = 4, #ARGV, 5 do
  local ref, number = ARGV[i], tonumber(ARGV[i + 3])
  local job = jobs[ref]
  local is_mine = job and job.f == ARGV[i + 1] and job.n == ARGV[i + 2]
  if is_mine and job.s == 'running' and number > (job.d or 0) then
    job.d = number
    spoken[ref] = job
    tell_driver(ref, 'm', job, me, ARGV[i + 4])
  end
  answers[#answers + 1] = (is_mine and (job.s == 'running' or ENDED[job.s])) and 1 or 0
end
for ref, job in pairs(spoken) do save(ref, job) end
write()
return answers
