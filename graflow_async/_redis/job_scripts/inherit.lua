-- run, epoch -> how much is left to be done: jobs, and batches of events. Some of it goes at each call.
-- The jobs of a process that drove the run before go. What workers have told it stays, set aside, until the run is
-- forgotten: whoever drives the run now may die, too, before it has recorded that.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
may_write_when_full()
local from, to = P .. 'ev:' .. run, P .. 'old:' .. run
if redis.call('EXISTS', to) == 0 then
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
else
  for _, row in ipairs(redis.call('XRANGE', from, '-', '+', 'COUNT', 50)) do
    redis.call('XADD', to, '*', unpack(row[2]))
    redis.call('XDEL', from, row[1])
  end
end
redis.call('EXPIRE', to, KEEP)
return remove_jobs(run) + redis.call('XLEN', from)
