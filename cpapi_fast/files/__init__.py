"""What is done with the files of runs: recovery after a kill, verification, repair and conversion"""
