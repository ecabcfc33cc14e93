--# include kv
--# include kv_op
-- ARGV: 6 lower and 7 upper end of the names, as ZRANGEBYLEX takes them, 8 how many to look at
-- Answers {last name looked at or false, how many were removed}, {-2} if a later operation was done

local before = answered()
if before then
  return before
end
local names = call('ZRANGEBYLEX', INDEX, ARGV[6], ARGV[7], 'LIMIT', 0, ARGV[8])
local count = 0
for _, name in ipairs(names) do
  local entry, is_due = find(name)
  if entry then
    remove(CHANNEL, name, entry, is_due and 'expire' or 'delete')
    count = count + (is_due and 0 or 1)
  end
end
return answer({ names[#names] or false, count }, #names > 0)
