#!/usr/bin/env python3
"""Deliberate bugs in raftd/core and its caller, one at a time: the simulator must catch each.

usage: mutants.py CORE_DIR SIM_DIR LIB_DIR WORK_DIR [--seeds N]

Copies core and simulator, puts one bug in, builds and runs seeds until a violation (or a failed
assertion). Prints how many seeds each took, and the hazards by what they bit; exits 1 if one survives,
does not apply any more, or a hazard has none. The unchanged build must be silent on the same seeds.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

# What bit others, row by row, and the rules that bit nobody by name; each has a mutant.
HAZARDS = {
    "figure 8": "old-term entry counted as committed",
    "change before commit": "membership change before an own-term commit makes two majorities",
    "configuration at append": "configuration takes effect at apply, not append",
    "configuration rolled back": "configuration not rolled back, or an uncommitted one in a snapshot",
    "removed disturbs": "removed server keeps disrupting",
    "leaving leader": "leaving leader must serve until C_new commits, not counting itself",
    "learner": "learner leads, votes or counts",
    "wiped disk": "same id with a wiped disk",
    "wedge": "PreVote/CheckQuorum wedge",
    "vote cleared": "vote cleared within a term",
    "vote durable": "vote not durable before the reply",
    "own log durable": "ack before own log is durable",
    "acked and lost": "follower acked entries it lost",
    "read before commit": "read index before the term's first commit",
    "read id reused": "reused read id matched late acks",
    "lease": "lease reads and clock drift",
    "snapshot": "stale, repeated, conflicting snapshot install",
    "torn tail": "torn tail vs damage inside the log",
    "directory": "directory not synced after create/rename",
    "sync retried": "fsync retried after an error",
    "disk full": "disk full",
    "disk hangs": "disk hangs, heartbeats go on",
    "applied index": "applied index not atomic with data",
    "applied twice": "retry after an unknown outcome applies twice",
    "elections": "(paper 5.2, 5.4.1: who may win)",
    "terms": "(paper 5.1: what a term means)",
    "log matching": "(paper 5.3: logs agree)",
}

# (name, hazard, [(what stands once in the core or the simulator, however it is broken into lines,
#                  what the bug makes of it)])
# A bug in the simulator's node is one of the core's caller: the disk, the store, the client's side.
MUTANTS = [
    ("vote for an older log", "elections", [
        ("return is_free && is_log_as_new(raft, message);",
         "return is_free;"),
    ]),
    ("vote twice in a term", "vote cleared", [
        ("return is_free && is_log_as_new(raft, message);",
         "(void)is_free; return is_log_as_new(raft, message);"),
    ]),
    ("vote cleared within a term", "vote cleared", [
        ("    if (term > raft->hard_state.term) {\n"
         "        raft->hard_state = (struct raft_hard_state){.term = term};",
         "    if (term >= raft->hard_state.term) {\n"
         "        raft->hard_state = (struct raft_hard_state){.term = term};"),
    ]),
    ("term not made durable", "vote durable", [
        ("raft->hard_state = (struct raft_hard_state){.term = term};\n"
         "        update->hard_state_changed = true;",
         "raft->hard_state = (struct raft_hard_state){.term = term};"),
    ]),
    ("own vote not made durable", "vote durable", [
        ("raft->self};\n"
         "    update->hard_state_changed = true;",
         "raft->self};"),
    ]),
    ("given vote not made durable", "vote durable", [
        ("        update->hard_state_changed || raft->hard_state.vote != message->from;",
         "        update->hard_state_changed;"),
    ]),
    ("old-term entry committed by counting (figure 8)", "figure 8", [
        ("if (index < raft->term_first_index || index <= raft->commit_index)",
         "if (index <= raft->commit_index)"),
    ]),
    ("leader counts itself before its disk", "own log durable", [
        ("? raft->persisted_index\n"
         "                                    : raft->progress[i].match;",
         "? raft->terms.last_index\n"
         "                                    : raft->progress[i].match;"),
    ]),
    ("follower acknowledges before its disk", "acked and lost", [
        ("uint64_t index = raft->verified_index < raft->persisted_index ? raft->verified_index\n"
         "                                                                  : raft->persisted_index;",
         "uint64_t index = raft->verified_index;"),
    ]),
    ("acknowledges what is not the leader's", "acked and lost", [
        ("uint64_t index = raft->verified_index < raft->persisted_index ? raft->verified_index\n"
         "                                                                  : raft->persisted_index;",
         "uint64_t index = raft->persisted_index;"),
    ]),
    ("half is a quorum", "elections", [
        ("return voters / 2 + 1;",
         "return voters / 2 + (voters < 3);"),
    ]),
    ("learner counts", "learner", [
        ("        if (raft->configuration.members[i].voter)\n"
         "            reached[voters++]",
         "            reached[voters++]"),
    ]),
    ("learner leads", "learner", [
        ("    return raft_is_voter(&raft->configuration, raft->self) ||\n",
         "    return raft_progress(raft, raft->self) ||\n"),
    ]),
    ("membership changes before an own-term commit", "change before commit", [
        ("    } else if (raft->configuration.index > raft->commit_index ||\n"
         "               !raft_has_committed_own_term(raft)) {",
         "    } else if (raft->configuration.index > raft->commit_index) {"),
    ]),
    ("several membership changes at once", "change before commit", [
        ("    } else if (raft->configuration.index > raft->commit_index ||\n"
         "               !raft_has_committed_own_term(raft)) {",
         "    } else if (!raft_has_committed_own_term(raft)) {"),
    ]),
    ("two voters changed in one step", "change before commit", [
        ("voters_changed(&raft->configuration, wanted) > 1 ||",
         ""),
    ]),
    ("configuration not taken at append", "configuration at append", [
        ("        if (event->entries[i].configuration)\n",
         "        if (0)\n"),
    ]),
    ("configuration not rolled back", "configuration rolled back", [
        ("    if (raft->configuration.index >= truncate_from)\n",
         "    if (0 && truncate_from)\n"),
    ]),
    ("leader outside its configuration counts itself", "leaving leader", [
        ("    uint64_t index = voters ? quorum_index(reached, voters) : 0;\n"
         "    if (index < raft->term_first_index",
         "    if (!raft_progress(raft, raft->self) && voters < RAFT_MEMBERS_MAX)\n"
         "        reached[voters++] = raft->persisted_index;\n"
         "    uint64_t index = voters ? quorum_index(reached, voters) : 0;\n"
         "    if (index < raft->term_first_index"),
    ]),
    ("removed server with the newest log never stands", "leaving leader", [
        ("           (raft->configuration.index > raft->commit_index &&",
         "           (0 &&"),
    ]),
    ("read before the term's first commit", "read before commit", [
        ("if (raft->round_is_open || !raft->reads_count || !raft_has_committed_own_term(raft))",
         "if (raft->round_is_open || !raft->reads_count)"),
    ]),
    ("read without a round", "lease", [
        ("if (members_have_quorum(raft, answered_round)) /* alone */\n"
         "        round_close(raft, update);",
         "if (1)\n"
         "        reads_release(raft, raft->round_reads, update), raft->round_is_open = false;"),
    ]),
    ("round used again", "read id reused", [
        ("        return;\n"
         "    raft->round++;\n"
         "    raft->round_is_open = true;",
         "        return;\n"
         "    raft->round_is_open = true;"),
    ]),
    ("messages of an old term count", "terms", [
        ("if (message->term < raft->hard_state.term) {",
         "if (0) {"),
    ]),
    ("a newer term does not depose", "terms", [
        ("    if (message->term > raft->hard_state.term || is_leaders)\n",
         "    if (is_leaders)\n"),
    ]),
    ("entries taken without a look at the one before", "log matching", [
        ("    if (message->index <= raft->commit_index)\n"
         "        return true;",
         "    if (message->index <= raft->terms.last_index)\n"
         "        return true;"),
    ]),
    ("conflicting entries kept", "log matching", [
        ("             terms_at(&raft->terms, index) != event->entries[known].term))",
         "             0))"),
    ]),
    ("agreeing entries truncated", "log matching", [
        ("    while (known < event->message->count) {\n"
         "        uint64_t index = event->message->index + known + 1;\n",
         "    while (known < event->message->count) {\n"
         "        uint64_t index = event->message->index + known + 1;\n"
         "        if (index > raft->commit_index)\n"
         "            break;\n"),
    ]),
    ("truncated entries count as durable", "acked and lost", [
        ("        if (raft->persisted_index >= first)\n"
         "            raft->persisted_index = first - 1;\n",
         ""),
    ]),
    ("a write that was overtaken counts", "acked and lost", [
        ("if (terms_at(&raft->terms, event->index) != event->term)",
         "if (event->index > raft->terms.last_index)"),
    ]),
    ("commit learned beyond what is known to agree", "log matching", [
        ("    if (commit_index > raft->verified_index)\n"
         "        commit_index = raft->verified_index;\n",
         "    if (commit_index > raft->terms.last_index)\n"
         "        commit_index = raft->terms.last_index;\n"),
    ]),
    ("applied before it is durable here", "own log durable", [
        ("update->apply_index = raft->commit_index < raft->persisted_index ? raft->commit_index\n"
         "                                                                     : raft->persisted_index;",
         "update->apply_index = raft->commit_index;"),
    ]),
    ("old snapshot installed", "snapshot", [
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
    ("a refusal counts as an acknowledgement", "log matching", [
        ("    if (!message->ok) {\n"
         "        (void)progress_on_reject(",
         "    if (0) {\n"
         "        (void)progress_on_reject("),
    ]),
    ("sent is taken for received", "log matching", [
        ("        progress->next = last_index + 1;\n",
         "        progress->next = last_index + 1;\n"
         "        progress->match = last_index;\n"),
    ]),
    ("what a new leader knew of members in its last term is kept", "log matching", [
        ("        .next = last_index + 1,\n",
         "        .next = last_index + 1,\n"
         "        .match = progress->match,\n"),
    ]),
    ("a rejection is not followed back", "wedge", [
        ("    progress->next = next > progress->match ? next : progress->match + 1;\n",
         ""),
    ]),
    ("a lost probe is never sent again", "wedge", [
        ("if (progress->stall_ms < stall_ms_max)",
         "if (1 || stall_ms_max)"),
    ]),
    ("cut forgets the base's term", "snapshot", [
        ("    terms->base_term = terms->runs[begun - 1].term;\n",
         ""),
    ]),
    ("a learner's vote counts", "learner", [
        ("        if (!member->voter || member->number == raft->self)\n"
         "            continue;",
         "        if (member->number == raft->self)\n"
         "            continue;"),
        ("        if (raft->configuration.members[i].voter)\n"
         "            count += raft->configuration.members[i].number == raft->self",
         "            count += raft->configuration.members[i].number == raft->self"),
    ]),
    ("who hears a leader lets itself be disturbed", "removed disturbs", [
        ("    begin_candidacy(raft, RAFT_PRE_CANDIDATE, update);\n"
         "    ask_for_votes(raft, RAFT_PREVOTE, raft->hard_state.term + 1, update);",
         "    campaign(raft, update);"),
        ("raft->hard_state.term && raft_is_content(raft) &&",
         "raft->hard_state.term && 0 &&"),
    ]),
    ("one that comes back with an old term is told nothing", "wedge", [
        ("    if (messages[message->type].is_leaders)\n"
         "        (void)message_add(",
         "    if (0)\n"
         "        (void)message_add("),
        ("    else if (message->type == RAFT_VOTE)",
         "    else if (0)"),
    ]),
    ("reads on a lease", "lease", [
        ("return raft->progress[place].round >= raft->round;",
         "return raft->progress[place].silence_ms < raft->timing.election_ms;"),
    ]),
    ("a leader whose disk hangs leads on", "disk hangs", [
        ("|| raft->disk_ms >= raft->timing.disk_ms) {",
         ") {"),
    ]),
    ("an uncommitted configuration in a snapshot", "configuration rolled back", [
        ("    packet->store = node->store;",
         "    packet->store = node->store;\n"
         "    packet->store.configuration = node->raft.configuration;"),
    ]),
    ("a wiped disk under the old number", "wiped disk", [
        ("    node->incarnation++;\n"
         "    node->is_running = true;",
         "    node->incarnation++;\n"
         "    if (node->incarnation % 4 == 3) {\n"
         "        struct raft_configuration first = node->checkpoint.configuration;\n"
         "        first.index = 0;\n"
         "        node->hard_state = begin.hard_state = (struct raft_hard_state){0};\n"
         "        begin.commit_index = 0;\n"
         "        model_log_reset(&node->disk, 0, 0, &first);\n"
         "        node->checkpoint = (struct model_store){.configuration = first};\n"
         "    }\n"
         "    node->is_running = true;"),
    ]),
    ("a sync counts for what was written after it began", "acked and lost", [
        ("    event.term = job->count ? job->entries[job->count - 1].term : 0;",
         "    event.term = job->count ? terms_last(&node->raft.terms) : 0;\n"
         "    event.index = node->raft.terms.last_index;"),
    ]),
    ("damage inside the log is cut off like a torn tail", "torn tail", [
        ("    node->incarnation++;\n"
         "    node->is_running = true;",
         "    node->incarnation++;\n"
         "    if (node->incarnation % 4 == 3 && node->disk.count > 3)\n"
         "        node->disk.count -= 3;\n"
         "    node->is_running = true;"),
    ]),
    ("a new segment's name is not synced", "directory", [
        ("    node_tell(cluster, node, \"crashes\");",
         "    node->disk.count -= node->disk.count % 8;\n"
         "    node_tell(cluster, node, \"crashes\");"),
    ]),
    ("a failed sync is tried again, and says yes", "sync retried", [
        ("    disk_job_carry_out(node, job, job->count);\n"
         "    struct raft_event",
         "    static uint64_t calls;\n"
         "    disk_job_carry_out(node, job, job->count);\n"
         "    if (job->count && ++calls % 50 == 0)\n"
         "        node->lost_from = job->first_index;\n"
         "    struct raft_event"),
        ("    node_tell(cluster, node, \"crashes\");",
         "    if (node->lost_from > node->disk.base_index && node->lost_from <= model_log_last(&node->disk))\n"
         "        model_log_truncate(&node->disk, node->lost_from);\n"
         "    node->lost_from = 0;\n"
         "    node_tell(cluster, node, \"crashes\");"),
        ("    bool is_running, is_paused, is_disk_stalled;",
         "    bool is_running, is_paused, is_disk_stalled;\n"
         "    uint64_t lost_from;"),
    ]),
    ("a write that a full disk cut short counts as whole", "disk full", [
        ("    disk_job_carry_out(node, job, job->count);\n"
         "    struct raft_event",
         "    disk_job_carry_out(node, job, job->count - (job->count > 1));\n"
         "    struct raft_event"),
    ]),
    ("the applied index is not of the data beside it", "applied index", [
        ("        node->checkpoint = node->store;\n",
         "    {\n"
         "        struct model_store before = node->checkpoint;\n"
         "        node->checkpoint = node->store;\n"
         "        node->checkpoint.applied_index = before.applied_index;\n"
         "        node->checkpoint.applied_term = before.applied_term;\n"
         "    }\n"),
    ]),
    ("a put without an answer is sent again", "applied twice", [
        ("    if (client->is_busy) /* no answer in time: the operation stays open */\n",
         "    if (client->is_busy)\n"
         "        timeline_add(cluster, 1,\n"
         "                     (struct happening){.kind = CLIENT_REQUEST,\n"
         "                                        .node = client->favourite,\n"
         "                                        .client = happening->client,\n"
         "                                        .operation = client->operation});\n"
         "    if (client->is_busy)\n"),
    ]),
]


def pattern_of(text):
    """The text, however it is broken into lines."""
    return r"\s+".join(re.escape(word) for word in text.split())


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def compile_all(sources, core, sim, lib, folder):
    """Objects by the name of their source, which says its folder too: both have a disk.c."""
    objects = {}
    for source in sources:
        name = os.path.join(*source.split(os.sep)[-2:])
        objects[name] = os.path.join(folder, name.replace(os.sep, "-") + ".o")
        done = run(["cc", "-std=gnu11", "-O1", "-w", "-iquote", core, "-iquote", sim, "-iquote", lib,
                    "-c", "-o", objects[name], source])
        if done.returncode:
            raise RuntimeError("does not build:\n" + done.stdout)
    return objects


def sources_of(*folders):
    return sorted(os.path.join(d, f) for d in folders for f in os.listdir(d) if f.endswith(".c"))


def link(objects, folder):
    binary = os.path.join(folder, "conure-sim")
    done = run(["cc", "-o", binary] + sorted(objects.values()))
    if done.returncode:
        raise RuntimeError("does not link:\n" + done.stdout)
    return binary


def first_violation(binary, seeds):
    """The seed that caught it (they count from 1) and how; (None, "") if none did."""
    done = run([binary, "--seeds", str(seeds), "--count"], timeout=800)
    if done.returncode == 0:
        return None, ""
    lines = [line for line in done.stdout.splitlines() if line]
    running = [line.split()[1] for line in lines if line.startswith("running ")]
    return int(running[-1]) if running else 1, lines[-1]


def put_in(patches, folders):
    """The files changed."""
    texts, changed = {}, set()
    for folder in folders:
        for file in os.listdir(folder):
            with open(os.path.join(folder, file)) as source:
                texts[os.path.join(folder, file)] = source.read()
    for before, after in patches:
        places = [(file, place) for file in texts for place in re.findall(pattern_of(before), texts[file])]
        if len(places) != 1:
            raise RuntimeError(f"does not apply: its text is there {len(places)} times: {before}")
        file, place = places[0]
        texts[file] = texts[file].replace(place, " " + after + " ")
        with open(file, "w") as source:
            source.write(texts[file])
        changed.add(file)
    return changed


def first_violation_with(patches, objects, core, sim, lib, folder, seeds):
    """`objects`: of the unchanged sources."""
    shutil.rmtree(folder, ignore_errors=True)
    copies = [shutil.copytree(core, os.path.join(folder, "core")),
              shutil.copytree(sim, os.path.join(folder, "sim"), ignore=shutil.ignore_patterns("*.py", "*.build"))]
    try:
        changed = put_in(patches, copies)
        if any(file.endswith(".h") for file in changed):
            changed = sources_of(*copies)
        objects = objects | compile_all(sorted(changed), *copies, lib, folder)
        return first_violation(link(objects, folder), seeds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judge(mutant, objects, *where):
    """(how many seeds it took or None, a line for people)"""
    name, _, patches = mutant
    try:
        seed, how = first_violation_with(patches, objects, *where)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return None, f"  BROKEN  {name}: {error}"
    return seed, f"SURVIVES  {name}" if seed is None else f"{seed:>8}  {name}: {how}"


def main():
    core, sim, lib, work = sys.argv[1:5]
    seeds = int(sys.argv[6]) if len(sys.argv) > 6 and sys.argv[5] == "--seeds" else 6000
    results = []
    os.makedirs(work, exist_ok=True)
    objects = compile_all(sources_of(core, sim) + [os.path.join(lib, "history.c")], core, sim, lib, work)
    print(f"seeds it took, of {seeds}; what was built in; how it was caught")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        clean = pool.submit(judge, ("nothing", None, []), objects, core, sim, lib, os.path.join(work, "clean"), seeds)
        jobs = [pool.submit(judge, mutant, objects, core, sim, lib, os.path.join(work, str(i)), seeds)
                for i, mutant in enumerate(MUTANTS)]
        for mutant, job in zip(MUTANTS, jobs):
            seed, line = job.result()
            results.append((mutant[1], seed))
            print(line, flush=True)
        is_silent = clean.result()[1].startswith("SURVIVES")
        print(f"without any: {'silent' if is_silent else clean.result()[1]}")
    print("\nhazard: seeds of its bugs")
    for hazard, title in HAZARDS.items():
        print(f"  {title}: {', '.join(str(seed) for of, seed in results if of == hazard) or 'NO BUG'}")
    caught = sum(seed is not None for _, seed in results)
    bare = set(HAZARDS) - {mutant[1] for mutant in MUTANTS}
    print(f"{caught} of {len(MUTANTS)} mutants caught")
    sys.exit(0 if caught == len(MUTANTS) and is_silent and not bare else 1)


main()
