"""Tests of recorded runs: cut anywhere, failed, killed, on bad disks, and gone on with."""
