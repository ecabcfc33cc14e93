--# include kv
-- ARGV: 1 lower and 2 upper end of the names, as ZRANGEBYLEX takes them, 3 how many to look at
-- Answers {last name looked at or false, names of those whose time is not up}

local names = call('ZRANGEBYLEX', INDEX, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local due = {}
for _, name in ipairs(call('ZRANGEBYSCORE', DEADLINES, '-inf', text(now))) do
  due[name] = true
end
local found = {}
for _, name in ipairs(names) do
  if not due[name] then
    found[#found + 1] = name
  end
end
return { names[#names] or false, found }
