"""The files of a report: finds them, reads each as far as it goes, and counts over time"""
