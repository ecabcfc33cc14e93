-- run, epoch, job... -> for each its state.
local answers, names = {}, {unpack(ARGV, 5)}
local jobs = load_run(ARGV[3], names, names, {})
for i, name in ipairs(names) do
  local job = jobs[name]
  answers[i] = job and job.s or 'missing'
end
return answers
