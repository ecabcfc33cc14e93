-- worker, lease ms, info, inbox read up to, (entry, ref, fence, nonce)... -> {{lost...}, {to be cancelled...}}, by place
-- Lengthens the lease of the worker; gives back what was handed to it a lease ago and is not among what it holds:
-- the answer to a read or to a begin that never arrived.
local me, lease = ARGV[3], tonumber(ARGV[4])
may_write_when_full()
if redis.call('ZADD', ROLL, NOW + lease, me) == 1 then
  redis.call('XADD', P .. 'wake', 'MAXLEN', 1, '*', 'w', me)
  redis.call('EXPIRE', P .. 'wake', KEEP)
end
redis.call('HSET', INFO, me, ARGV[5])
if ARGV[6] ~= '' then redis.call('XTRIM', P .. 'in:' .. me, 'MINID', ARGV[6]) end
for _, key in ipairs({S, ROLL, INFO, P .. 'in:' .. me}) do redis.call('EXPIRE', key, KEEP) end
local held, lost, cancelled, refs, runs = {}, {}, {}, {}, {}
for i = 7, #ARGV, 4 do refs[#refs + 1] = ARGV[i + 1] end
local jobs = load_jobs(refs)
for i = 7, #ARGV, 4 do
  held[ARGV[i]] = true
  local place = (i - 7) / 4
  local job = jobs[ARGV[i + 1]]
  if not job or job.f ~= ARGV[i + 2] or job.n ~= ARGV[i + 3] then
    lost[#lost + 1] = place
  else
    if job.k then cancelled[#cancelled + 1] = place end
    runs[halves(ARGV[i + 1])] = true
  end
end
for run in pairs(runs) do redis.call('EXPIRE', P .. 'j:' .. run, KEEP) end
local rows = redis.pcall('XPENDING', S, G, 'IDLE', lease, '-', '+', 1000, me)
if rows.err then rows = {} end
for _, row in ipairs(rows) do
  if not held[row[1]] then
    local ref, job = look_up(row[1])
    if ref then
      if job.s == 'running' and job.o ~= me then give_to_owner(job) else take_away(ref, job, me) end
    end
  end
end
write()
return {lost, cancelled}
