-- run, epoch, job... -> for each its state afterwards; what is missing has to be sent again.
-- The hash of a job is right; the entry and its place in the group are made to follow it.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
may_write_when_full()
redis.pcall('XGROUP', 'CREATE', S, G, '0', 'MKSTREAM')
redis.call('EXPIRE', S, KEEP)
redis.call('EXPIRE', P .. 'j:' .. run, KEEP)

local function numbers(id)
  local front, back = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(front), tonumber(back)
end

local delivered_ms, delivered_seq = 0, 0
for _, row in ipairs(redis.call('XINFO', 'GROUPS', S)) do
  local found = {}
  for i = 1, #row, 2 do found[row[i]] = row[i + 1] end
  if found.name == G then delivered_ms, delivered_seq = numbers(found['last-delivered-id']) end
end

-- Whether the group is past an entry, so that nobody will ever read it.
local function is_past(entry)
  local ms, seq = numbers(entry)
  return ms < delivered_ms or (ms == delivered_ms and seq <= delivered_seq)
end

local function mend(ref, job)
  if not open_entry(job.e) then
    if job.s == 'running' and is_alive(job.o) then return end
    job.s = 'missing'
    remove(ref)
  elseif #redis.call('XPENDING', S, G, job.e, job.e, 1) > 0 then
    return
  elseif job.s == 'running' and is_alive(job.o) then
    redis.call('XCLAIM', S, G, job.o, 0, job.e, 'FORCE', 'JUSTID')
  elseif job.s ~= 'queued' or is_past(job.e) then
    job.f, job.n = next_fence(job.f), ''
    put_back(ref, job)
  end
end

local answers, names = {}, {unpack(ARGV, 5)}
local jobs = load_run(run, names, names, {})
for i, name in ipairs(names) do
  local ref = run .. ':' .. name
  local job = jobs[name]
  if job and not ENDED[job.s] then mend(ref, job) end
  answers[i] = job and job.s or 'missing'
end
write()
return answers
