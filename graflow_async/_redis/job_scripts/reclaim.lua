-- worker, nonce -> {ms until a lease ends, entry, ref, payload}, the last three only if there was a job to take.
-- Takes one job from a worker whose lease has ended. From then on its old holder is fenced; the new one begins it.
-- A worker that has nothing left goes from the roll, its place in the group and its inbox with it.
local me, nonce = ARGV[3], ARGV[4]
may_write_when_full()

-- Gives the job if it is for the caller.
local function take(entry, from)
  local ref, job, payload = look_up(entry)
  if not ref then return nil end
  if job.s == 'running' and job.o ~= from and is_alive(job.o) then
    give_to_owner(job)
    return nil
  end
  redis.call('XCLAIM', S, G, me, 0, entry, 'JUSTID')
  if job.k then
    end_cancelled(ref, job, from)
    return nil
  end
  if job.s == 'running' then
    if blame(ref, job, job.o, 'its lease ended', 1) then return nil end
    -- No longer running: a second death before it is begun again is not its fault.
    job.s, job.f = 'suspect', next_fence(job.f)
  end
  job.n = nonce
  save(ref, job)
  return {entry, ref, payload}
end

local function answer(row)
  write()
  if not row then return {next_lease_end(me)} end
  return {next_lease_end(me), row[1], row[2], row[3]}
end

if AGAIN then
  for _, row in ipairs(redis.call('XPENDING', S, G, '-', '+', 10000, me)) do
    local ref, job, payload = look_up(row[1])
    if ref and job.s ~= 'running' and job.n == nonce then return answer({row[1], ref, payload}) end
  end
end

-- Who reads without being on the roll (it was lost) is put there, so that what it has can be taken.
local consumers = redis.pcall('XINFO', 'CONSUMERS', S, G)
if not consumers.err then
  for _, row in ipairs(consumers) do
    local found = {}
    for i = 1, #row, 2 do found[row[i]] = row[i + 1] end
    if found.name ~= me and found.pending > 0 then redis.call('ZADD', ROLL, 'NX', NOW, found.name) end
  end
end

for _ = 1, 100 do
  local late = redis.call('ZRANGEBYSCORE', ROLL, '-inf', NOW, 'LIMIT', 0, 2)
  local from = late[1]
  if from == me then from = late[2] end
  if not from then break end
  local pending = redis.call('XPENDING', S, G, '-', '+', 1, from)
  if pending[1] then
    local row = take(pending[1][1], from)
    if row then return answer(row) end
  else
    redis.call('XGROUP', 'DELCONSUMER', S, G, from)
    redis.call('ZREM', ROLL, from)
    redis.call('HDEL', INFO, from)
    redis.call('DEL', P .. 'in:' .. from)
  end
end
return answer(nil)
