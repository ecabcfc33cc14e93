-- worker, ref it still holds... -> how many those are; with none it leaves the roll and the group.
-- What was handed to it without its knowledge goes back without blame.
local me = ARGV[3]
may_write_when_full()
local held, busy = {}, 0
for i = 4, #ARGV do held[ARGV[i]] = true end
local rows = redis.pcall('XPENDING', S, G, '-', '+', 10000, me)
if rows.err then rows = {} end
for _, row in ipairs(rows) do
  local ref, job = look_up(row[1])
  if not ref then
    -- Nobody needs it.
  elseif job.s == 'running' and job.o ~= me then
    give_to_owner(job)
  elseif job.s == 'running' and held[ref] then
    busy = busy + 1
  else
    take_away(ref, job, me)
  end
end
write()
if busy == 0 then
  redis.pcall('XGROUP', 'DELCONSUMER', S, G, me)
  redis.call('ZREM', ROLL, me)
  redis.call('HDEL', INFO, me)
  redis.call('DEL', P .. 'in:' .. me)
end
return busy
