"""What lets others use a memory by the names they know: LangGraph, LangChain, mem0, MCP.

    adapter (their names) ─▶ steps (which verbs, in which order) ─▶ Memory, AsyncMemory, Client or AsyncClient

An adapter translates and holds no logic of memory. Each of them needs its own extra; nothing here loads until
it is imported.
"""
