"""Bodies that run elsewhere: what they ask of their run crosses a border of bytes."""
