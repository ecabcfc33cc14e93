"""The shell: carries the machine's commands out on the event loop. asyncio lives here, decisions do not."""
