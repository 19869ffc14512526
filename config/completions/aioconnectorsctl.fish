# Made by "aioconnectorsctl print-completions" from the table of commands.

# Whether the command that was typed is this one, of one word or two.
function __aioconnectors_is
    set -l typed (commandline -opc)
    set -e typed[1]
    test (count $typed) -ge (count $argv); or return 1
    test "$typed[1..$(count $argv)]" = "$argv"
end

# Whether so many words were typed, and the first one is this.
function __aioconnectors_awaits_second
    set -l typed (commandline -opc)
    test (count $typed) -eq 2; and test "$typed[2]" = "$argv[1]"
end

function __aioconnectors_connectors
    aioconnectorsctl connectors 2>/dev/null | tail -n +2 | cut -f 1
end

complete -c aioconnectorsctl -f
complete -c aioconnectorsd -f
complete -c aioconnectorsctl -n __fish_use_subcommand -a demo -d 'Show two connectors that exchange messages over TLS; takes about 10 s'
complete -c aioconnectorsctl -n __fish_use_subcommand -a print-config-templates -d 'Print config files to start from, with every key at its default'
complete -c aioconnectorsctl -n __fish_use_subcommand -a check-config -d 'Check a config file: print every error and every warning'
complete -c aioconnectorsctl -n __fish_use_subcommand -a create-certificates -d 'Make the certificates of a server and of its clients'
complete -c aioconnectorsctl -n __fish_use_subcommand -a replace-server-certificate -d 'Put another certificate in the place of a server\'s own'
complete -c aioconnectorsctl -n __fish_use_subcommand -a create-connector -d 'Run a connector in the foreground, as aioconnectorsd does'
complete -c aioconnectorsctl -n __fish_use_subcommand -a connectors -d 'Show the connectors of this machine, by the names that --name takes'
complete -c aioconnectorsctl -n __fish_use_subcommand -a status -d 'Show how a connector is: its state, its peers, what waits, what was lost, its store and certificate'
complete -c aioconnectorsctl -n __fish_use_subcommand -a peers -d 'Show a connector\'s peers: which are connected, since when, and what waits for them'
complete -c aioconnectorsctl -n __fish_use_subcommand -a queues -d 'Show a connector\'s queues: how many messages and bytes wait, and for how long'
complete -c aioconnectorsctl -n __fish_use_subcommand -a ledger -d 'Show which messages were not delivered, and why'
complete -c aioconnectorsctl -n __fish_use_subcommand -a files -d 'Show the files that are on their way now'
complete -c aioconnectorsctl -n __fish_use_subcommand -a show-attribute -d 'Print a config key\'s value as a connector has it'
complete -c aioconnectorsctl -n __fish_use_subcommand -a start -d 'Have a connector that was stopped begin again'
complete -c aioconnectorsctl -n __fish_use_subcommand -a stop -d 'Stop a connector, whose process goes on'
complete -c aioconnectorsctl -n __fish_use_subcommand -a restart -d 'Stop a connector and have it begin again, with its config as it is now'
complete -c aioconnectorsctl -n __fish_use_subcommand -a reload -d 'Have a connector read its config and its certificates again'
complete -c aioconnectorsctl -n __fish_use_subcommand -a log-level -d 'Print how important a line must be to be logged, or change it'
complete -c aioconnectorsctl -n __fish_use_subcommand -a delete-remains -d 'Have a connector remove files of queues that are of no use any more'
complete -c aioconnectorsctl -n __fish_use_subcommand -a disconnect -d 'End a client\'s connection; it may come again'
complete -c aioconnectorsctl -n __fish_use_subcommand -a blacklist -d 'add, remove, list'
complete -c aioconnectorsctl -n __fish_use_subcommand -a whitelist -d 'add, remove, list'
complete -c aioconnectorsctl -n __fish_use_subcommand -a ignore -d 'peer, all, none, list'
complete -c aioconnectorsctl -n __fish_use_subcommand -a enroll -d 'Have a server make a token with which a new client can enrol once, and print it'
complete -c aioconnectorsctl -n __fish_use_subcommand -a enrollments -d 'Print the names of clients that may enrol at a server, and until when, as Unix time'
complete -c aioconnectorsctl -n __fish_use_subcommand -a withdraw-enrollment -d 'Have a server take back the token for the enrolment of a client'
complete -c aioconnectorsctl -n __fish_use_subcommand -a delete-certificate -d 'Take a client\'s certificate back'
complete -c aioconnectorsctl -n __fish_use_subcommand -a delete-token -d 'Take a client\'s token back'
complete -c aioconnectorsctl -n __fish_use_subcommand -a reload-tokens -d 'Have a connector read its tokens again'
complete -c aioconnectorsctl -n __fish_use_subcommand -a send -d 'Send messages, and say what became of them'
complete -c aioconnectorsctl -n __fish_use_subcommand -a receive -d 'Print messages as they come, each as a line of JSON'
complete -c aioconnectorsctl -n __fish_use_subcommand -a subscriptions -d 'Print the message types that a client subscribes to, one a line'
complete -c aioconnectorsctl -n __fish_use_subcommand -a subscribe -d 'Have a client subscribe to these message types, and to no others'
complete -c aioconnectorsctl -n __fish_use_subcommand -a end-subscriptions -d 'Have a broker forget what a client has subscribed to'
complete -c aioconnectorsctl -n __fish_use_subcommand -a chat -d 'Talk to somebody on another machine, and send files'
complete -c aioconnectorsctl -n __fish_use_subcommand -a ping -d 'Ask the other connector for an echo, every two seconds'
complete -c aioconnectorsctl -n __fish_use_subcommand -a test-send-messages -d 'Send a message of each type, every two seconds'
complete -c aioconnectorsctl -n __fish_use_subcommand -a test-publish-messages -d 'Publish a message of each type, every two seconds'
complete -c aioconnectorsctl -n __fish_use_subcommand -a test-receive-messages -d 'Print the messages that a connector brings'
complete -c aioconnectorsctl -n __fish_use_subcommand -a spool -d 'list, verify, export, repair, purge'
complete -c aioconnectorsctl -n __fish_use_subcommand -a print-completions -d 'Print the script with which a shell completes commands, options and names'
complete -c aioconnectorsctl -n __fish_use_subcommand -a print-man-page -d 'Print a page of the manual, as man(1) reads it'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second blacklist' -a add -d 'Keep clients out of a running server, and disconnect them'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second blacklist' -a remove -d 'Take an entry away from a server\'s blacklist'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second blacklist' -a list -d 'Print a server\'s blacklist'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second whitelist' -a add -d 'Let clients into a running server; with a first entry, no others'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second whitelist' -a remove -d 'Take an entry away from a server\'s whitelist'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second whitelist' -a list -d 'Print a server\'s whitelist'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second ignore' -a peer -d 'Drop the messages of one peer, and those for it'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second ignore' -a all -d 'Drop the messages of all peers, and those for them'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second ignore' -a none -d 'Drop nobody\'s messages any more'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second ignore' -a list -d 'Print whose messages a connector drops: all, none, or names'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second spool' -a list -d 'List a connector\'s queues on disk'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second spool' -a verify -d 'Check every message in a connector\'s queues on disk'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second spool' -a export -d 'Print the messages in a connector\'s queues on disk'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second spool' -a repair -d 'Get what can be read out of damaged queues on disk. The connector must be stopped'
complete -c aioconnectorsctl -n '__aioconnectors_awaits_second spool' -a purge -d 'Remove a connector\'s queues on disk, with their messages. The connector must be stopped'
complete -c aioconnectorsctl -n '__aioconnectors_is demo' -l keep -d 'leave the connectors running, and say how to talk to them'
complete -c aioconnectorsctl -n '__aioconnectors_is demo' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is print-config-templates' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is check-config' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is check-config' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is check-config' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is check-config' -F
complete -c aioconnectorsctl -n '__aioconnectors_is create-certificates' -l ca -d 'for a server with server_ca: make a CA that signs client certificates'
complete -c aioconnectorsctl -n '__aioconnectors_is create-certificates' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is create-certificates' -a '(__fish_complete_directories)'
complete -c aioconnectorsctl -n '__aioconnectors_is replace-server-certificate' -l revert -d 'put the first certificate back'
complete -c aioconnectorsctl -n '__aioconnectors_is replace-server-certificate' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is replace-server-certificate' -F
complete -c aioconnectorsctl -n '__aioconnectors_is replace-server-certificate' -a '(__fish_complete_directories)'
complete -c aioconnectorsctl -n '__aioconnectors_is create-connector' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is create-connector' -F
complete -c aioconnectorsctl -n '__aioconnectors_is connectors' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is connectors' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is status' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is status' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is status' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is status' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is status' -F
complete -c aioconnectorsctl -n '__aioconnectors_is peers' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is peers' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is peers' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is peers' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is peers' -F
complete -c aioconnectorsctl -n '__aioconnectors_is queues' -l all -d 'show queues without messages, too'
complete -c aioconnectorsctl -n '__aioconnectors_is queues' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is queues' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is queues' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is queues' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is queues' -F
complete -c aioconnectorsctl -n '__aioconnectors_is ledger' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is ledger' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is ledger' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is ledger' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ledger' -F
complete -c aioconnectorsctl -n '__aioconnectors_is files' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is files' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is files' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is files' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is files' -F
complete -c aioconnectorsctl -n '__aioconnectors_is show-attribute' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is show-attribute' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is show-attribute' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is show-attribute' -F
complete -c aioconnectorsctl -n '__aioconnectors_is start' -l timeout -x -d 'wait so long for it; a minute at least'
complete -c aioconnectorsctl -n '__aioconnectors_is start' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is start' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is start' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is start' -F
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -l hard -d 'at once: what is queued is not sent first'
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -l shutdown -d 'end the process as well'
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -l timeout -x -d 'wait so long for it; a minute at least'
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is stop' -F
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -l hard -d 'at once: what is queued is not sent first'
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -l pause -x -d 'time between stop and start, at most an hour'
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -l timeout -x -d 'wait so long for it; a minute at least'
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is restart' -F
complete -c aioconnectorsctl -n '__aioconnectors_is reload' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is reload' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is reload' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is reload' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is reload' -F
complete -c aioconnectorsctl -n '__aioconnectors_is log-level' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is log-level' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is log-level' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is log-level' -F
complete -c aioconnectorsctl -n '__aioconnectors_is log-level' -a 'ERROR WARNING INFO DEBUG TRACE'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-remains' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-remains' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-remains' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-remains' -F
complete -c aioconnectorsctl -n '__aioconnectors_is disconnect' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is disconnect' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is disconnect' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is disconnect' -F
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist add' -l id -d 'ENTRY is for names, even if it looks like an address'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist add' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist add' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist add' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist add' -F
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist remove' -l id -d 'ENTRY is for names, even if it looks like an address'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist remove' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist remove' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist remove' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist remove' -F
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist list' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist list' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist list' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist list' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is blacklist list' -F
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist add' -l id -d 'ENTRY is for names, even if it looks like an address'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist add' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist add' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist add' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist add' -F
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist remove' -l id -d 'ENTRY is for names, even if it looks like an address'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist remove' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist remove' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist remove' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist remove' -F
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist list' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist list' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist list' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist list' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is whitelist list' -F
complete -c aioconnectorsctl -n '__aioconnectors_is ignore peer' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore peer' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore peer' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore peer' -F
complete -c aioconnectorsctl -n '__aioconnectors_is ignore all' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore all' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore all' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore all' -F
complete -c aioconnectorsctl -n '__aioconnectors_is ignore none' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore none' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore none' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore none' -F
complete -c aioconnectorsctl -n '__aioconnectors_is ignore list' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore list' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore list' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore list' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ignore list' -F
complete -c aioconnectorsctl -n '__aioconnectors_is enroll' -l ttl -x -d 'how long the token is good; without it a day, at most 30 days'
complete -c aioconnectorsctl -n '__aioconnectors_is enroll' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is enroll' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is enroll' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is enroll' -F
complete -c aioconnectorsctl -n '__aioconnectors_is enrollments' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is enrollments' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is enrollments' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is enrollments' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is enrollments' -F
complete -c aioconnectorsctl -n '__aioconnectors_is withdraw-enrollment' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is withdraw-enrollment' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is withdraw-enrollment' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is withdraw-enrollment' -F
complete -c aioconnectorsctl -n '__aioconnectors_is delete-certificate' -l only-link -d 'on a server: keep the certificate\'s files, so that the name is given no new one'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-certificate' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-certificate' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-certificate' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-certificate' -F
complete -c aioconnectorsctl -n '__aioconnectors_is delete-token' -l reconnect -d 'on a client: connect anew, for which it needs another token'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-token' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-token' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-token' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is delete-token' -F
complete -c aioconnectorsctl -n '__aioconnectors_is reload-tokens' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is reload-tokens' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is reload-tokens' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is reload-tokens' -F
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l to -x -d 'where it goes; a server needs the name of the client'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l lines -d 'with -: each line is a message of its own'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l count -x -d 'send it so often'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l await -d 'wait for the answer, for 10 s or as given'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l receipt -x -a 'accepted stored delivered' -d 'wait until it is accepted, stored or delivered'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l timeout -x -d 'longest that nothing goes on, with --receipt; 10 s, with --file without limit'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l file -r -F -d 'a file that goes with it'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l dst-type -x -d 'the entry of the peer\'s file_recv_config for the file; by default the message\'s type'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l dst-name -x -d 'the file\'s name there'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l owner -x -d 'the file\'s owner there'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l delete -d 'remove the file here when it is there'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l binary -r -F -d 'a file whose bytes are the binary part'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l publish -d 'publish it to all who subscribe to the type'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l tag -x -d 'a word to tell messages apart'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l header -x -d 'a further key of the header; may be given several times'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l json -d 'say what became of it in JSON, on a terminal too'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is send' -F
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l count -x -d 'end after so many messages'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l timeout -x -d 'end when no message has come for so long'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l ack -d 'acknowledge each message once it is written: what was not, the connector brings again'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l answer -x -d 'answer those that await an answer with this'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l raw -d 'write the data as it is, and nothing else'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l lines -d 'write the data as it is, and the end of a line'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is receive' -F
complete -c aioconnectorsctl -n '__aioconnectors_is subscriptions' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is subscriptions' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is subscriptions' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is subscriptions' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is subscriptions' -F
complete -c aioconnectorsctl -n '__aioconnectors_is subscribe' -l none -d 'subscribe to nothing any more'
complete -c aioconnectorsctl -n '__aioconnectors_is subscribe' -l json -d 'print it in JSON'
complete -c aioconnectorsctl -n '__aioconnectors_is subscribe' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is subscribe' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is subscribe' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is subscribe' -F
complete -c aioconnectorsctl -n '__aioconnectors_is end-subscriptions' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is end-subscriptions' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is end-subscriptions' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is end-subscriptions' -F
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l target -x -d 'where the other side listens; without it, this one does'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l port -x -d 'the port to listen at or to go to; 10673'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l bind -x -d 'the address or network interface to listen at; all of them'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l accept -d 'let in who comes, and take files, without asking'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l dir -x -a '(__fish_complete_directories)' -d 'where files go that come; the current folder'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l upload -r -F -d 'with --target: send this file or folder, and end'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l exec -d 'let !COMMAND run COMMAND here, in a shell'
complete -c aioconnectorsctl -n '__aioconnectors_is chat' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ping' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is ping' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is ping' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is ping' -F
complete -c aioconnectorsctl -n '__aioconnectors_is test-send-messages' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is test-send-messages' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is test-send-messages' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is test-send-messages' -F
complete -c aioconnectorsctl -n '__aioconnectors_is test-publish-messages' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is test-publish-messages' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is test-publish-messages' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is test-publish-messages' -F
complete -c aioconnectorsctl -n '__aioconnectors_is test-receive-messages' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is test-receive-messages' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is test-receive-messages' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is test-receive-messages' -F
complete -c aioconnectorsctl -n '__aioconnectors_is spool list' -l dir -x -a '(__fish_complete_directories)' -d 'the spool folder itself: spool_… in connector_files_dirpath'
complete -c aioconnectorsctl -n '__aioconnectors_is spool list' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is spool list' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is spool list' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is spool list' -F
complete -c aioconnectorsctl -n '__aioconnectors_is spool verify' -l dir -x -a '(__fish_complete_directories)' -d 'the spool folder itself: spool_… in connector_files_dirpath'
complete -c aioconnectorsctl -n '__aioconnectors_is spool verify' -l ring -x -d 'only this file, as \'spool list\' names it'
complete -c aioconnectorsctl -n '__aioconnectors_is spool verify' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is spool verify' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is spool verify' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is spool verify' -F
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l dir -x -a '(__fish_complete_directories)' -d 'the spool folder itself: spool_… in connector_files_dirpath'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l ring -x -d 'only this file, as \'spool list\' names it'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l output -r -F -d 'write to this file instead of stdout'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l json -d 'one JSON object a line instead of frames'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is spool export' -F
complete -c aioconnectorsctl -n '__aioconnectors_is spool repair' -l dir -x -a '(__fish_complete_directories)' -d 'the spool folder itself: spool_… in connector_files_dirpath'
complete -c aioconnectorsctl -n '__aioconnectors_is spool repair' -l ring -x -d 'only this file, as \'spool list\' names it'
complete -c aioconnectorsctl -n '__aioconnectors_is spool repair' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is spool repair' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is spool repair' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is spool repair' -F
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l dir -x -a '(__fish_complete_directories)' -d 'the spool folder itself: spool_… in connector_files_dirpath'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l ring -x -d 'only this file, as \'spool list\' names it'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l remains -d 'only what the config does not need: types that are not stored any more, other peers, files put aside'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l yes -d 'do it; without this it is only said what would be removed'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l config -r -F -d 'the connector whose config file this is'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l name -x -a '(__aioconnectors_connectors)' -d 'the connector of this name: /etc/aioconnectors/NAME.json, or one that runs'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is spool purge' -F
complete -c aioconnectorsctl -n '__aioconnectors_is print-completions' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is print-completions' -a 'bash zsh fish'
complete -c aioconnectorsctl -n '__aioconnectors_is print-man-page' -l help -d 'say how it is used'
complete -c aioconnectorsctl -n '__aioconnectors_is print-man-page' -a 'aioconnectorsctl aioconnectorsd aioconnectors.json aioconnectors'
complete -c aioconnectorsd -l log-format -x -a 'text journal json' -d 'text, journal or json; by default journal if the journal is where the log goes, else text'
complete -c aioconnectorsd -l help -d 'say how it is used'
complete -c aioconnectorsd -F
