-- run, token, (job, fence, number, data)... -> for each 1, or 0 if the claim is no more.
-- Numbers of a token grow, so that what is sent twice is told once.
local run, token = ARGV[3], ARGV[4]
may_write_when_full()
local answers, names, addressed = {}, {}, {}
for i = 5, #ARGV, 4 do names[#names + 1] = ARGV[i] end
local jobs = load_run(run, names, names, {})
for i = 5, #ARGV, 4 do
  local ref, number = run .. ':' .. ARGV[i], tonumber(ARGV[i + 2])
  local job = jobs[ARGV[i]]
  local is_held = job and job.s == 'running' and job.f == ARGV[i + 1]
  if is_held then
    local from, last = string.match(job.r or '', '^(%S+) (%d+)$')
    if from ~= token or number > tonumber(last) then
      job.r = token .. ' ' .. ARGV[i + 2]
      addressed[ref] = job
      tell_worker(job.o, 'm', job.f, ref, ARGV[i + 3])
    end
  end
  answers[#answers + 1] = is_held and 1 or 0
end
for ref, job in pairs(addressed) do save(ref, job) end
write()
return answers
