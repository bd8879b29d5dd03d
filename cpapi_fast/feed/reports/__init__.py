"""What a feed reports to a person: its log, and the trouble because of which no data arrives"""
