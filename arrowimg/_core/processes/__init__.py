"""Processes that work for this one: tasks to them, tables in memory that all of them map.

What a task does is its own matter; `pool.WorkerPool` brings it to a process and its result back.
"""
