"""Commands that read files which `collect` wrote"""
