/* placeholder */ extern int raftd_placeholder; int raftd_placeholder;
