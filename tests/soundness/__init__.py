"""The soundness suite: certificates attacked where they are weakest, and bugs that it must find.

nets, exact        small random nets, and what they compute in rational arithmetic
border, lattice    the largest eps that a bound accepts, and attacks there; every float16 image
programs, hidden   exact optima of mixed-integer programs; nets with a planted counterexample
hunts, mutants     the suite in a few seconds, and the bugs, one a file, that it must not let live
"""
