-- run, epoch, (job, payload, flags)... -> for each '' if it is new, else its state; a full memory refuses it whole.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
local names = {}
for i = 5, #ARGV, 3 do names[#names + 1] = ARGV[i] end
local known = load_run(run, names, names, {})
if redis.call('EXISTS', S) == 0 then redis.call('XGROUP', 'CREATE', S, G, '0', 'MKSTREAM') end
local answers, new, front = {}, {}, run .. ':'
for i = 1, #names do
  local name, at = names[i], 3 * i + 2
  local job = known[name]
  if job then
    answers[i] = job.s
  else
    local flags = ARGV[at + 2] ~= '' and ARGV[at + 2] or nil
    job = {s = 'queued', e = redis.call('XADD', S, '*', 'j', front .. name, 'p', ARGV[at + 1]), x = flags}
    known[name] = job
    local count = #new
    new[count + 1], new[count + 2] = name, packed(job)
    answers[i] = ''
  end
end
changed[run] = new
redis.call('EXPIRE', S, KEEP)
write()
return answers
