extern int launch_placeholder; int launch_placeholder;
