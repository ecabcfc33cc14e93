-- run, epoch, the first id that stays, ended job... -> how many batches went. Their results have been recorded.
local run = ARGV[3]
if deposed(run, ARGV[4]) then return 'DEPOSED' end
local names = {}
for i = 6, #ARGV do names[#names + 1] = ARGV[i] end
in_parts(names, function(first, last) redis.call('HDEL', P .. 'j:' .. run, unpack(names, first, last)) end)
return redis.call('XTRIM', P .. 'ev:' .. run, 'MINID', ARGV[5])
