"""A LangGraph graph with a node that asks Tollkeeper's rules for the model, and reports what the call used.

pip install 'tollkeeper-client[langchain]' langgraph langchain
TOLLKEEPER_URL=... TOLLKEEPER_KEY=... python langgraph_agent.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.graph import END, START, MessagesState, StateGraph
from tollkeeper_client import Tollkeeper, event_of
from tollkeeper_client.langchain import UsageCallback


class State(MessagesState):
    task: str


def build(tollkeeper: Tollkeeper, make_model: Callable[[str, str], BaseChatModel]) -> Any:
    """Return the graph. `make_model` takes a model and its provider, as `init_chat_model` does."""

    def answer(state: State, config: RunnableConfig) -> dict[str, Any]:
        context = {
            "use_case": "support-routing",
            "task": state["task"],
            "session": config["configurable"].get("thread_id"),  # a conversation stays with its model
        }
        decision = tollkeeper.decide(context)
        if decision.blocked:
            tollkeeper.report(event_of(decision, context))
            return {"messages": [AIMessage("The budget for this is used up.")]}
        model = make_model(decision.model, decision.provider)
        # Merged, so that the callbacks of the graph (traces, streams) go on hearing of this call, too.
        with_usage = merge_configs(config, {"callbacks": [UsageCallback(tollkeeper, decision, context)]})
        return {"messages": [model.invoke(state["messages"], with_usage)]}

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile()


if __name__ == "__main__":
    from langchain.chat_models import init_chat_model

    with Tollkeeper() as client:
        client.ready()
        compiled = build(client, lambda model, provider: init_chat_model(model, model_provider=provider))
        asked = {"messages": [("user", "Say hello.")], "task": "summary"}
        print(compiled.invoke(asked, {"configurable": {"thread_id": "t-1"}})["messages"][-1])
