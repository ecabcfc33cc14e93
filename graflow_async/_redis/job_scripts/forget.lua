-- run, epoch -> how many jobs are left; at 0 nothing of the run is there any more. Some of them go at each call.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
may_write_when_full()
local key = P .. 'j:' .. run
local rows = redis.call('HRANDFIELD', key, AT_ONCE, 'WITHVALUES')
for i = 1, #rows, 2 do
  local job = cmsgpack.unpack(rows[i + 1])
  local ref = run .. ':' .. rows[i]
  if job.s == 'running' then tell_worker(job.o, 'c', job.f, ref, '') end
  if not ENDED[job.s] then drop_entry(job.e) end
  remove(ref)
end
write()
local left = redis.call('HLEN', key)
if left == 0 then redis.call('DEL', P .. 'ev:' .. run, P .. 'own:' .. run) end
return left
