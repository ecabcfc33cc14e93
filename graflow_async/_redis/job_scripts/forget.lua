-- run, epoch -> how many jobs are left; at 0 nothing of the run is there any more. Some of them go at each call.
-- Of a run that was taken over the epoch stays for a while: the driver before would else do everything again.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
may_write_when_full()
local left = remove_jobs(run)
if left == 0 then
  local own = P .. 'own:' .. run
  redis.call('DEL', P .. 'ev:' .. run, P .. 'old:' .. run)
  if redis.call('HGET', own, 'p') then
    redis.call('HSET', own, 'o', '', 'u', '0')
    redis.call('EXPIRE', own, KEEP)
  else
    redis.call('DEL', own)
  end
end
return left
