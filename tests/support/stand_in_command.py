"""`tao-skills` with the stand-in model: `stand_in_command.py ARGUMENTS`."""

import sys

import tiny

from tao_skill_bank.cli import main

tiny.fake_model().start()
sys.argv[0] = "tao-skills"
main()
