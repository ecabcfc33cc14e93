"""Parameters by name: where a task's arguments come from when nobody passes them."""

from __future__ import annotations

from graflow_async import BindingError, Workflow, task


@task
def order() -> dict[str, float | int | str]:
    """Return a mapping: each of its keys can be a parameter of the task behind it."""
    return {"item": "lamp", "price": 40.0, "quantity": 3}


@task
def subtotal(price: float, quantity: int) -> float:
    """Take `price` and `quantity` out of the mapping."""
    return price * quantity


@task
def shipping(amount: float, free_from: float = 100.0) -> float:
    """Take the result of the one task before as the one parameter that is open; the default stays."""
    return 0.0 if amount >= free_from else 5.0


@task
def invoice(order: dict[str, float | int | str], subtotal: float, shipping: float, note: str = "thank you") -> str:
    """Take results by the ids of their tasks, however far back they are."""
    return f"{order['quantity']} x {order['item']}: {subtotal:.2f} + {shipping:.2f} shipping, {note}"


def main() -> None:
    """Run the workflow as it is, with bound arguments, and with one that nobody can supply."""
    print(Workflow("by_name", order >> subtotal >> shipping >> invoice).execute())

    bound = order >> subtotal >> shipping(free_from=200.0, task_id="shipping") >> invoice(note="come again")
    print(Workflow("bound", bound).execute())

    try:
        Workflow("open", subtotal(price=2.5)).execute()
    except BindingError as error:
        print(str(error).partition(";")[0])


if __name__ == "__main__":
    main()
