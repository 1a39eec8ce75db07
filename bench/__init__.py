"""How fast it is: loopback load on the real process, each figure beside a floor measured in the same run."""
