--# include lock
-- Makes the lease last longer, also one that has ended while nobody wanted it. Answers whether the lock is still held.

if call('HGET', LOCK, 'holder') ~= WHO then
  return 0
end
call('HSET', LOCK, 'until', text(now + LEASE))
keep()
return 1
