"""Video reasoning annotation: videos in, captions, descriptions and question-answer pairs with reasoning out.

Every model call goes through a journal, so that a run can be killed at any moment and nothing is paid for twice.
"""
