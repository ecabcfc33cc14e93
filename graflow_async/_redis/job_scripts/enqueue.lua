-- run, epoch, (how many, flags, (job, payload)...)... -> for each '' if it is new, else its state; jobs whose flags are
-- the same come together. A full memory refuses it whole.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
local names, payloads, flags_of = {}, {}, {}
local at = 5
while at < #ARGV do
  local last, flags = at + 2 * tonumber(ARGV[at]), ARGV[at + 1]
  for i = at + 2, last, 2 do
    local count = #names + 1
    names[count], payloads[count], flags_of[count] = ARGV[i], ARGV[i + 1], flags
  end
  at = last + 2
end
local known = load_run(run, names, names, {})
if redis.call('EXISTS', S) == 0 then redis.call('XGROUP', 'CREATE', S, G, '0', 'MKSTREAM') end
local answers, new, front = {}, {}, run .. ':'
local count, flags, map, rest = 0, nil, '', ''
for i = 1, #names do
  local name = names[i]
  local job = known[name]
  if job then
    answers[i] = job.s
  else
    if flags_of[i] ~= flags then
      flags = flags_of[i]
      map, rest = flags ~= '' and '\131' or '\130', flags ~= '' and '\161x' .. text(flags) or ''
      map = map .. '\161s\166queued\161e'
    end
    local entry = redis.call('XADD', S, '*', 'j', front .. name, 'p', payloads[i])
    known[name] = {s = 'queued'}
    new[count + 1], new[count + 2] = name, map .. text(entry) .. rest
    count = count + 2
    answers[i] = ''
  end
end
changed[run] = new
redis.call('EXPIRE', S, KEEP)
write()
return answers
