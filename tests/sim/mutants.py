#!/usr/bin/env python3
"""Deliberate bugs in raftd/core, one at a time: the simulator must catch each.

usage: mutants.py CORE_DIR SIM_DIR LIB_DIR WORK_DIR [--seeds N]

Copies the core, puts one bug in, builds the simulator with it and runs seeds until a violation (or a
failed assertion). Prints how many seeds each took; exits 1 if one survives, or does not apply any more.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

# (name, [(what stands once in the core, however it is broken into lines, what the bug makes of it)])
MUTANTS = [
    ("vote for an older log", [
        ("return is_free && is_log_as_new(raft, message);",
         "return is_free;"),
    ]),
    ("vote twice in a term", [
        ("return is_free && is_log_as_new(raft, message);",
         "(void)is_free; return is_log_as_new(raft, message);"),
    ]),
    ("vote cleared within a term", [
        ("    if (term > raft->hard_state.term) {\n"
         "        raft->hard_state = (struct raft_hard_state){.term = term};",
         "    if (term >= raft->hard_state.term) {\n"
         "        raft->hard_state = (struct raft_hard_state){.term = term};"),
    ]),
    ("term not made durable", [
        ("raft->hard_state = (struct raft_hard_state){.term = term};\n"
         "        update->hard_state_changed = true;",
         "raft->hard_state = (struct raft_hard_state){.term = term};"),
    ]),
    ("own vote not made durable", [
        ("raft->self};\n"
         "    update->hard_state_changed = true;",
         "raft->self};"),
    ]),
    ("given vote not made durable", [
        ("        update->hard_state_changed || raft->hard_state.vote != message->from;",
         "        update->hard_state_changed;"),
    ]),
    ("old-term entry committed by counting (figure 8)", [
        ("if (index < raft->term_first_index || index <= raft->commit_index)",
         "if (index <= raft->commit_index)"),
    ]),
    ("leader counts itself before its disk", [
        ("? raft->persisted_index\n"
         "                                    : raft->progress[i].match;",
         "? raft->terms.last_index\n"
         "                                    : raft->progress[i].match;"),
    ]),
    ("follower acknowledges before its disk", [
        ("uint64_t index = raft->verified_index < raft->persisted_index ? raft->verified_index\n"
         "                                                                  : raft->persisted_index;",
         "uint64_t index = raft->verified_index;"),
    ]),
    ("acknowledges what is not the leader's", [
        ("uint64_t index = raft->verified_index < raft->persisted_index ? raft->verified_index\n"
         "                                                                  : raft->persisted_index;",
         "uint64_t index = raft->persisted_index;"),
    ]),
    ("half is a quorum", [
        ("return voters / 2 + 1;",
         "return voters / 2 + (voters < 3);"),
    ]),
    ("learner counts", [
        ("        if (raft->configuration.members[i].voter)\n"
         "            reached[voters++]",
         "            reached[voters++]"),
    ]),
    ("learner leads", [
        ("    return raft_is_voter(&raft->configuration, raft->self) ||\n",
         "    return raft_progress(raft, raft->self) ||\n"),
    ]),
    ("membership changes before an own-term commit", [
        ("    } else if (raft->configuration.index > raft->commit_index ||\n"
         "               !raft_has_committed_own_term(raft)) {",
         "    } else if (raft->configuration.index > raft->commit_index) {"),
    ]),
    ("several membership changes at once", [
        ("    } else if (raft->configuration.index > raft->commit_index ||\n"
         "               !raft_has_committed_own_term(raft)) {",
         "    } else if (!raft_has_committed_own_term(raft)) {"),
    ]),
    ("two voters changed in one step", [
        ("voters_changed(&raft->configuration, wanted) > 1 ||",
         ""),
    ]),
    ("configuration not taken at append", [
        ("        if (event->entries[i].configuration)\n",
         "        if (0)\n"),
    ]),
    ("configuration not rolled back", [
        ("    if (raft->configuration.index >= truncate_from)\n",
         "    if (0 && truncate_from)\n"),
    ]),
    ("leader outside its configuration counts itself", [
        ("    uint64_t index = voters ? quorum_index(reached, voters) : 0;\n"
         "    if (index < raft->term_first_index",
         "    if (!raft_progress(raft, raft->self) && voters < RAFT_MEMBERS_MAX)\n"
         "        reached[voters++] = raft->persisted_index;\n"
         "    uint64_t index = voters ? quorum_index(reached, voters) : 0;\n"
         "    if (index < raft->term_first_index"),
    ]),
    ("removed server with the newest log never stands", [
        ("           (raft->configuration.index > raft->commit_index &&",
         "           (0 &&"),
    ]),
    ("read before the term's first commit", [
        ("if (raft->round_is_open || !raft->reads_count || !raft_has_committed_own_term(raft))",
         "if (raft->round_is_open || !raft->reads_count)"),
    ]),
    ("read without a round", [
        ("if (members_have_quorum(raft, answered_round)) /* alone */\n"
         "        round_close(raft, update);",
         "if (1)\n"
         "        reads_release(raft, raft->round_reads, update), raft->round_is_open = false;"),
    ]),
    ("round used again", [
        ("        return;\n"
         "    raft->round++;\n"
         "    raft->round_is_open = true;",
         "        return;\n"
         "    raft->round_is_open = true;"),
    ]),
    ("messages of an old term count", [
        ("if (message->term < raft->hard_state.term) {",
         "if (0) {"),
    ]),
    ("a newer term does not depose", [
        ("    if (message->term > raft->hard_state.term || is_leaders)\n",
         "    if (is_leaders)\n"),
    ]),
    ("entries taken without a look at the one before", [
        ("    if (message->index <= raft->commit_index)\n"
         "        return true;",
         "    if (message->index <= raft->terms.last_index)\n"
         "        return true;"),
    ]),
    ("conflicting entries kept", [
        ("             terms_at(&raft->terms, index) != event->entries[known].term))",
         "             0))"),
    ]),
    ("agreeing entries truncated", [
        ("    while (known < event->message->count) {\n"
         "        uint64_t index = event->message->index + known + 1;\n",
         "    while (known < event->message->count) {\n"
         "        uint64_t index = event->message->index + known + 1;\n"
         "        if (index > raft->commit_index)\n"
         "            break;\n"),
    ]),
    ("truncated entries count as durable", [
        ("        if (raft->persisted_index >= first)\n"
         "            raft->persisted_index = first - 1;\n",
         ""),
    ]),
    ("a write that was overtaken counts", [
        ("if (terms_at(&raft->terms, event->index) != event->term)",
         "if (event->index > raft->terms.last_index)"),
    ]),
    ("commit learned beyond what is known to agree", [
        ("    if (commit_index > raft->verified_index)\n"
         "        commit_index = raft->verified_index;\n",
         "    if (commit_index > raft->terms.last_index)\n"
         "        commit_index = raft->terms.last_index;\n"),
    ]),
    ("applied before it is durable here", [
        ("update->apply_index = raft->commit_index < raft->persisted_index ? raft->commit_index\n"
         "                                                                     : raft->persisted_index;",
         "update->apply_index = raft->commit_index;"),
    ]),
    ("old snapshot installed", [
        ("return raft->role == RAFT_FOLLOWER && index > raft->commit_index &&\n"
         "           terms_at(&raft->terms, index) != term;",
         "return raft->role == RAFT_FOLLOWER && (index || term);"),
        ("if (event->message->index > raft->commit_index)\n"
         "        return;\n"
         "    update->outcome",
         "if (1)\n"
         "        return;\n"
         "    update->outcome"),
    ]),
    ("a refusal counts as an acknowledgement", [
        ("    if (!message->ok) {\n"
         "        (void)progress_on_reject(",
         "    if (0) {\n"
         "        (void)progress_on_reject("),
    ]),
    ("sent is taken for received", [
        ("        progress->next = last_index + 1;\n",
         "        progress->next = last_index + 1;\n"
         "        progress->match = last_index;\n"),
    ]),
    ("what a new leader knew of members in its last term is kept", [
        ("        .next = last_index + 1,\n",
         "        .next = last_index + 1,\n"
         "        .match = progress->match,\n"),
    ]),
    ("a rejection is not followed back", [
        ("    progress->next = next > progress->match ? next : progress->match + 1;\n",
         ""),
    ]),
    ("a lost probe is never sent again", [
        ("if (progress->stall_ms < stall_ms_max)",
         "if (1 || stall_ms_max)"),
    ]),
    ("cut forgets the base's term", [
        ("    terms->base_term = terms->runs[begun - 1].term;\n",
         ""),
    ]),
]


def pattern_of(text):
    """The text, however it is broken into lines."""
    return r"\s+".join(re.escape(word) for word in text.split())


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def build(core, sim, lib, work):
    sources = sorted(os.path.join(d, f) for d in (core, sim) for f in os.listdir(d) if f.endswith(".c"))
    sources.append(os.path.join(lib, "history.c"))
    binary = os.path.join(work, "sim")
    done = run(["cc", "-std=gnu11", "-O1", "-w", "-iquote", core, "-iquote", sim, "-iquote", lib, "-o", binary] + sources)
    if done.returncode:
        raise RuntimeError("does not build:\n" + done.stdout)
    return binary


def first_violation(binary, seeds):
    """The seed that caught it (they count from 1) and how; (None, "") if none did."""
    done = run([binary, "--seeds", str(seeds), "--count"], timeout=800)
    if done.returncode == 0:
        return None, ""
    lines = [line for line in done.stdout.splitlines() if line]
    running = [line.split()[1] for line in lines if line.startswith("running ")]
    return int(running[-1]) if running else 1, lines[-1]


def put_in(mutant, core, copy):
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(core, copy)
    texts = {}
    for file in os.listdir(copy):
        with open(os.path.join(copy, file)) as source:
            texts[file] = source.read()
    for before, after in mutant[1]:
        places = [(file, place) for file in texts for place in re.findall(pattern_of(before), texts[file])]
        if len(places) != 1:
            raise RuntimeError(f"does not apply: its text is there {len(places)} times: {before}")
        file, place = places[0]
        texts[file] = texts[file].replace(place, " " + after + " ")
        with open(os.path.join(copy, file), "w") as source:
            source.write(texts[file])


def judge(number, core, sim, lib, work, seeds):
    """One line for people, and whether the mutant was caught."""
    name = MUTANTS[number][0]
    folder = os.path.join(work, str(number))
    os.makedirs(folder, exist_ok=True)
    try:
        put_in(MUTANTS[number], core, os.path.join(folder, "core"))
        seed, how = first_violation(build(os.path.join(folder, "core"), sim, lib, folder), seeds)
    except RuntimeError as error:
        return f"  BROKEN  {name}: {error}", False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if seed is None:
        return f"SURVIVES  {name}", False
    return f"{seed:>8}  {name}: {how}", True


def main():
    core, sim, lib, work = sys.argv[1:5]
    seeds = int(sys.argv[6]) if len(sys.argv) > 6 and sys.argv[5] == "--seeds" else 6000
    caught = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(judge, i, core, sim, lib, work, seeds) for i in range(len(MUTANTS))]
        for job in jobs:
            line, is_caught = job.result()
            caught += is_caught
            print(line, flush=True)
    print(f"{caught} of {len(MUTANTS)} mutants caught")
    sys.exit(0 if caught == len(MUTANTS) else 1)


main()
