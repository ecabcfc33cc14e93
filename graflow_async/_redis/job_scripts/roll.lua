-- -> {id of the last coming, {worker, ms left, info}...}
local answer = {'0-0'}
local last = redis.call('XREVRANGE', P .. 'wake', '+', '-', 'COUNT', 1)
if last[1] then answer[1] = last[1][1] end
local rows = redis.call('ZRANGEBYSCORE', ROLL, '(' .. whole(NOW), '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 1, #rows, 2 do
  answer[#answer + 1] = {rows[i], tonumber(rows[i + 1]) - NOW, redis.call('HGET', INFO, rows[i]) or ''}
end
return answer
