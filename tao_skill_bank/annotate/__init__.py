"""Video reasoning annotation: videos in, captions, descriptions and question-answer pairs with reasoning out.

Every model call goes through a journal, which counts every call, answered or not: a run can be killed at any moment.
"""
