/*
 * The three sub-commands of weir-guard that work on data sets. Each takes its own arguments behind
 * the sub-command's name (argv[0] is that name) and returns the process's exit status: 0 done,
 * 1 a bar was missed or the run failed, 2 wrong usage.
 */
#ifndef WEIR_GUARD_TRAINING_COMMANDS_H
#define WEIR_GUARD_TRAINING_COMMANDS_H

int weir_guard_train_command(int argc, char **argv);
int weir_guard_eval_command(int argc, char **argv);
int weir_guard_overlaps_command(int argc, char **argv);

#endif
