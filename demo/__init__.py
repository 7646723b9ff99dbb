"""`make demo`: the example of the README, played on real containers.

    supervisor  looks at the host, starts the play as a process of its own, and cleans up, however that ended
    host        what the demo may find and leave on the host; the clean-up, which needs to know nothing but the host
    play        the steps, and what must be true after each
    stage       starts API server, kubelet, container runtime and agent
    kubelet     stand-in: runs the pods of the node as the real one does
    kubectl     stand-in: the few verbs that the example and our scripts use
    telling     what is printed

Depends on the laboratory of the tests (`lab`); must not import the agent, which is run as a process.
"""
