"""What OpenSIPS has and what of it is here: modules that may be loaded, modules of what is
missing, global parameters without effect."""

from __future__ import annotations

NOTHING_HERE = frozenset(
    (
        *("db_mysql", "db_text", "db_sqlite", "db_postgres", "db_unixodbc", "db_virtual"),
        *("db_http", "db_berkeley", "mi_fifo", "mi_datagram", "mi_http", "mi_json", "mi_xmlrpc"),
        *("mi_xmlrpc_ng", "mi_html", "httpd", "event_datagram", "event_flatstore", "event_route"),
        *("event_stream", "event_xmlrpc", "proto_udp", "proto_tcp", "statistics", "path"),
        *("maxfwd", "sl", "signaling", "tm", "rr", "sipmsgops", "textops", "uri", "dispatcher"),
        *("avpops", "cfgutils", "pi_http", "json", "options", "mathops", "stun", "xlog", "pv"),
    )
)
"""Modules that may be loaded: what they do is built in, or has functions in the table above.  Of
others only what a script calls is missing."""

ELSEWHERE = {
    name: module
    for module, names in {
        "registrar": "save lookup is_registered add_sock_hdr unregister",
        "auth": "www_challenge proxy_challenge consume_credentials pv_www_authorize",
        "auth_db": "www_authorize proxy_authorize db_does_uri_exist db_check_from",
        "nathelper": (
            "fix_nated_contact fix_nated_register nat_uac_test fix_nated_sdp add_rcv_param"
        ),
        "rtpproxy": (
            "rtpproxy_offer rtpproxy_answer rtpproxy_unforce rtpproxy_engage "
            "rtpproxy_stream2uac rtpproxy_stream2uas rtpproxy_start_recording"
        ),
        "rtpengine": "rtpengine_offer rtpengine_answer rtpengine_delete rtpengine_manage",
        "dialog": (
            "create_dialog validate_dialog fix_route_dialog set_dlg_profile "
            "get_dialog_info get_dialog_vals get_dialogs_by_val get_dialogs_by_profile "
            "unset_dlg_profile is_in_profile get_profile_size set_dlg_flag "
            "test_and_set_dlg_flag reset_dlg_flag is_dlg_flag_set store_dlg_value "
            "fetch_dlg_value set_dlg_sharing_tag load_dialog_ctx unload_dialog_ctx "
            "match_dialog dlg_on_answer dlg_on_timeout dlg_on_hangup "
            "dlg_send_sequential dlg_inc_cseq"
        ),
        "acc": "do_accounting acc_log_request acc_db_request",
        "load_balancer": (
            "lb_start lb_start_or_next lb_next lb_is_started load_balance lb_count_call "
            "lb_disable_dst lb_is_destination"
        ),
        "drouting": (
            "do_routing route_to_carrier route_to_gw use_next_gw is_from_gw goes_to_gw "
            "dr_is_gw dr_match dr_disable"
        ),
        "permissions": (
            "allow_trusted check_address check_source_address allow_routing "
            "get_source_group allow_register allow_uri"
        ),
        "topology_hiding": "topology_hiding topology_hiding_match",
        "uac": "uac_replace_from uac_replace_to uac_auth uac_inc_cseq",
        "avpops": ("avp_db_query avp_db_load avp_db_store avp_db_delete avp_subst_pv"),
        "tm": (
            "t_cancel_branch t_uac_dlg t_replicate "
            "t_write_req t_write_unix t_add_hdrs t_inject_branches "
            "t_wait_for_new_branches t_wait_no_more_branches t_add_cancel_reason "
            "t_reply_by_callid t_anycast_replicate t_new_request"
        ),
        "cfgutils": (
            "rand_set_prob get_static_lock release_static_lock check_time_rec abort "
            "pkg_status shm_status rand_reset_prob rand_get_prob strings_share_lock "
            "get_accurate_time shuffle_avps set_select_weight"
        ),
        "ratelimit": "rl_check rl_dec_count",
        "pike": "pike_check_req",
        "enum": "enum_query",
        "exec": "exec exec_msg exec_avp",
        "core": (
            "assert cache_store cache_fetch cache_remove cache_add cache_sub "
            "cache_counter_fetch cache_raw_query send serialize_branches next_branches "
            "remove_branch set_advertised_address set_advertised_port force_tcp_alias "
            "add_tcp_alias raise_event unsubscribe_event get_timestamp async launch setdebug "
            "append_msg_branch remove_msg_branch move_branch swap_branches sr_check_status"
        ),
        "sipmsgops": (
            "codec_exists codec_exists_re codec_delete codec_delete_re "
            "codec_delete_except_re codec_delete_clock codec_move_up codec_move_up_re "
            "codec_move_up_clock codec_move_down codec_move_down_re "
            "codec_move_down_clock stream_exists stream_delete add_body add_body_part "
            "get_updated_body_part filter_body sip_to_json has_body_part"
        ),
        "uri": (
            "does_uri_exist check_to check_from get_auth_id aaa_does_uri_exist "
            "db_check_to db_get_auth_id"
        ),
        "dispatcher": "ds_push_script_attrs ds_get_script_attrs",
        "domain": "is_uri_host_local is_from_local is_domain_local",
        "dialplan": "dp_translate",
        "nat_traversal": "nat_keepalive client_nat_test fix_contact",
        "mediaproxy": "use_media_proxy engage_media_proxy end_media_session",
        "presence": "handle_publish handle_subscribe",
        "alias_db": "alias_db_lookup alias_db_find",
        "speeddial": "sd_lookup",
        "group": "db_is_user_in get_user_group",
        "userblacklist": "check_user_blacklist check_blacklist check_user_whitelist",
        "msilo": "m_store m_dump",
        "b2b_logic": "b2b_init_request",
        "uac_redirect": "get_redirects set_accept_filter set_deny_filter",
        "diversion": "add_diversion",
        "sst": "sstCheckMin",
        "gflags": "set_gflag reset_gflag is_gflag",
        "siprec": "siprec_start_recording",
        "tracer": "trace",
        "siptrace": "sip_trace",
        "rest_client": "rest_get rest_post rest_put",
        "jsonrpc": "jsonrpc_request jsonrpc_notification",
        "event_routing": "wait_for_event notify_on_event",
        "sqlops": "sql_query sql_select sql_update sql_insert sql_delete",
        "mathops": ("math_eval math_rpn math_trunc math_floor math_ceil math_round math_round_sf"),
        "stir_shaken": "stir_shaken_auth stir_shaken_verify stir_shaken_check",
        "perl": "perl_exec perl_exec_simple",
        "python": "python_exec",
        "lua": "lua_exec",
        "fraud_detection": "check_fraud",
        "call_center": "cc_handle_call",
        "sipcapture": "sip_capture report_capture",
        "mid_registrar": "mid_registrar_save mid_registrar_lookup",
        "xmpp": "xmpp_send_message",
    }.items()
    for name in names.split()
}
"""Functions that scripts call and that are not here: their modules, for the message."""

GLOBALS_IGNORED = frozenset(
    (
        *("abort_on_assert", "anycast", "auto_scaling_cycle", "auto_scaling_profile"),
        *("avp_aliases", "bin_children", "bin_listen", "cfg_hash", "check_via", "chroot"),
        *("db_max_async_connections", "db_version_table", "debug_mode", "disable_503_translation"),
        *("disable_core_dump", "disable_dns_blacklist", "disable_dns_failover"),
        *("disable_stateless_fwd", "disable_tcp", "disable_tls", "dns", "dns_retr_no"),
        *("dns_retr_time", "dns_servers_no", "dns_try_ipv6", "enable_asserts"),
        *("event_pkg_threshold", "event_shm_threshold", "exec_dns_threshold", "exec_msg_threshold"),
        *("fork", "loadpath", "log_event_enabled", "log_event_level_filter", "log_facility"),
        *("log_json_buf_size", "log_msg_buf_size", "log_name", "log_prefix", "log_stderror"),
        *("log_stdout", "mcast_loopback", "mcast_ttl", "mem-group", "mem_dump", "mem_log"),
        *("mem_warming", "mem_warming_pattern_file", "mem_warming_percentage", "memdump", "memlog"),
        *("mhomed", "mpath", "open_files_limit", "pkg_size", "pmemsize", "poll_method"),
        *("pv_print_buf_size", "query_buffer_size", "query_flush_time", "reply_to_via"),
        *("restart_persistency", "restart_persistency_cache_file", "restart_persistency_size"),
        *("rev_dns", "rpm_mem_file", "rpm_mem_size", "server_header", "server_signature"),
        *("shm_hash_split_percentage", "shm_memlog_size", "shm_secondary_hash_size", "shm_size"),
        *("sip_warning", "stateless_forward", "stderror_enabled", "stderror_level_filter"),
        *("stderror_log_format", "syn_branch", "syslog_enabled", "syslog_facility"),
        *("syslog_level_filter", "syslog_log_format", "syslog_name", "tcp_children"),
        *("tcp_max_connections", "tcp_threshold", "tcp_workers", "timer_workers"),
        *("udp_receive_buffer", "user_agent_header", "wdir", "workdir", "xlog_buf_size"),
        *("xlog_force_color", "xlog_level", "xlog_print_level", "xlog_default_level"),
        *("execmsgthreshold", "execdnsthreshold", "tcpthreshold", "mem_warming_enabled"),
    )
)
"""Global parameters of OpenSIPS that change nothing here, besides tcp_... and tls_..."""
