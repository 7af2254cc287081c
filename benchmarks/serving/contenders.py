"""The servers of a comparison, started where they take part and can be."""

from contextlib import ExitStack

from artifacts import Artifact
from case import Field, Plan
from serving.environment import NotInstalled
from serving.peers import Peer
from serving.server import NotServing, Server, served


def started(peers: tuple[Peer, ...], model: Artifact, plan: Plan, field: Field, stack: ExitStack) -> dict[Peer, Server]:
    """Those that answer rightly; of the others, ``field`` has the reason. ``stack`` ends them."""
    running = {}
    for peer in (peer for peer in peers if _takes_part(peer, plan)):
        plan.tell(f"{peer.name} starts")
        try:
            running[peer] = stack.enter_context(served(peer, model))
        except (NotServing, NotInstalled) as error:
            field.absent[peer.name] = str(error)
            continue
        if peer.restless:
            running[peer].hold()
    return running


def _takes_part(peer: Peer, plan: Plan) -> bool:
    return not peer.packages or plan.peers is None or peer.name.partition(",")[0].lower() in plan.peers
