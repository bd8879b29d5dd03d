"""The policy of a feed against a gateway in virtual time: a year in less than a minute."""
