/* placeholder */ extern int httpd_placeholder; int httpd_placeholder;
