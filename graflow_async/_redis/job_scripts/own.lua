-- run, token, lease ms, verb, epoch -> {OK or HELD, epoch, ms left} for own, {OK or DEPOSED} for renew and yield.
local run, token, lease, verb = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local key = P .. 'own:' .. run
local found = redis.call('HMGET', key, 'o', 'e', 'u')
local owner, epoch, till = found[1], tonumber(found[2] or '0'), tonumber(found[3] or '0')

local function hold(number)
  may_write_when_full()
  redis.call('HSET', key, 'o', token, 'e', whole(number), 'u', whole(NOW + lease))
  for _, name in ipairs({'own:', 'ev:', 'old:', 'j:'}) do redis.call('EXPIRE', P .. name .. run, KEEP) end
end

if verb == 'own' then
  if owner ~= token then
    if owner and till > NOW then return {'HELD', epoch, till - NOW} end
    epoch = math.max(epoch + 1, MICROS)
    -- Whoever had it may only be asleep, and must find itself deposed whenever it wakes up.
    if owner and owner ~= '' then redis.call('HSET', key, 'p', '1') end
  end
  hold(epoch)
  return {'OK', epoch, lease}
end
local mine = tonumber(ARGV[7])
if epoch > mine then return {'DEPOSED'} end
if verb == 'renew' then
  hold(mine)
elseif owner == token then
  redis.call('HSET', key, 'o', '', 'u', '0')
end
return {'OK'}
