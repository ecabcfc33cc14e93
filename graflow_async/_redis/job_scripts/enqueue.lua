-- run, epoch, (job, payload, flags)... -> for each '' if it is new, else its state; a full memory refuses it whole.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
local names = {}
for i = 5, #ARGV, 3 do names[#names + 1] = ARGV[i] end
local known = load_run(run, names, {})
if redis.call('EXISTS', S) == 0 then redis.call('XGROUP', 'CREATE', S, G, '0', 'MKSTREAM') end
local answers = {}
for i = 5, #ARGV, 3 do
  local ref = run .. ':' .. ARGV[i]
  local job = known[ref]
  if job then
    answers[#answers + 1] = job.s
  else
    local flags = ARGV[i + 2] ~= '' and ARGV[i + 2] or nil
    job = {s = 'queued', e = redis.call('XADD', S, '*', 'j', ref, 'p', ARGV[i + 1]), x = flags}
    known[ref] = job
    save(ref, job)
    answers[#answers + 1] = ''
  end
end
redis.call('EXPIRE', S, KEEP)
write()
return answers
