"""The page of a report: plots, sections, style, and the elements of HTML"""
