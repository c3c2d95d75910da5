"""A small siamese change classifier for rehearsals on a CPU. It is a stand-in: its FAR is not TAO's."""
