"""The borders to the world: disk, clock, randomness. The real ones are made in one place, `carma.memory`."""
