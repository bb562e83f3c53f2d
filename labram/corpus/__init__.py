"""From a folder of recordings to a catalogue and a store of clean patches."""
